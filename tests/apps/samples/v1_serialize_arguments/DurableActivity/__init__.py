# The class is known here only because other functions of the app import it.
def main(city):
    return type(city)(city.number * 2)

import json


def main(name):
    # A dict arrives as a dict, so this raises; in the original too, with a current SDK.
    return json.loads(name)["experiment"]

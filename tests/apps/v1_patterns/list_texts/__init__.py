from ..shared import texts


def main(nothing) -> list:
    return sorted(path.name for path in texts.FOLDER.glob("*.txt"))

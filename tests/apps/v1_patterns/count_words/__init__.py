from ..shared import texts


async def main(name: str) -> int:
    return len((texts.FOLDER / name).read_text(encoding="utf-8").split())

def main(num: int) -> str:
    if not isinstance(num, int):
        raise TypeError(f"{num!r} is no int: a zero got lost on its way")
    return f"Activity number {num}"

def main(device: str) -> str:
    return f"{device[:2].upper()}-{sum(device.encode()):04d}"

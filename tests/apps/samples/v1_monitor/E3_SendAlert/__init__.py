import json

import azure.functions as func


def main(phone: str, message: func.Out[str]) -> str:
    message.set(json.dumps({"body": "Hey! You may want to check on your repo, there are too many issues", "to": phone}))
    return "Alert sent!"

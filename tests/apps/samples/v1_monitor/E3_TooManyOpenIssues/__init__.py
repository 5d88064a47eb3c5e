# Stands for the service that is asked: each time that somebody looks there is one more issue.
open_issues = 0


def main(repositoryID: str) -> bool:
    global open_issues
    open_issues += 1
    return open_issues > 2

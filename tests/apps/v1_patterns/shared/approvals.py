EVENT = "Approval"

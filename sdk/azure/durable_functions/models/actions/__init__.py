"""What an orchestrator may ask of its host."""

from azure.durable_functions._replay.actions import Action, ActionType, CallActivityAction, CallActivityWithRetryAction, CallSubOrchestratorAction, CallHttpAction, WaitForExternalEventAction, CreateTimerAction, WhenAnyAction, WhenAllAction

__all__ = ["Action", "ActionType", "CallActivityAction", "CallActivityWithRetryAction", "CallSubOrchestratorAction", "CallHttpAction", "WaitForExternalEventAction", "CreateTimerAction", "WhenAnyAction", "WhenAllAction"]

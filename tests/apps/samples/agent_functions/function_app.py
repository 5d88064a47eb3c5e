from agent_app import AgentApp

app = AgentApp(agents=["joker", "poet"])

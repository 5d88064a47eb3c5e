"""An app class of a framework: functions are made by a subclass of DFApp, some for triggers of its own."""

import azure.durable_functions as df
import azure.functions as func


class AgentApp(df.DFApp):
    def __init__(self, agents):
        super().__init__(http_auth_level=func.AuthLevel.ANONYMOUS)
        for agent in agents:
            self._add_agent(agent)

    def _add_agent(self, agent):
        @self.function_name(f"http-{agent}")
        @self.route(route=f"agents/{agent}/run", methods=["POST"])
        @self.durable_client_input(client_name="client")
        async def run(req: func.HttpRequest, client: df.DurableOrchestrationClient):
            instance_id = await client.start_new(f"dafx-{agent}", client_input=req.get_body().decode())
            return client.create_check_status_response(req, instance_id)

        @self.function_name(f"dafx-{agent}")
        @self.orchestration_trigger(context_name="context")
        def turn(context: df.DurableOrchestrationContext):
            reply = yield context.call_activity(f"model-{agent}", context.get_input())
            return reply

        @self.function_name(f"model-{agent}")
        @self.activity_trigger(input_name="text")
        def model(text: str) -> str:
            return f"{agent} says: {text}"

        @self.function_name(f"mcptool-{agent}")
        @self.mcp_tool_trigger(arg_name="arguments", tool_name=agent, description="asks the agent")
        def tool(arguments: str) -> str:
            return f"{agent} was asked {arguments}"

"""The Kata 1.x protocol: gRPC service ``grpc.AgentService`` and ``grpc.Health``."""

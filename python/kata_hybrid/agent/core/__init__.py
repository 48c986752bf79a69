"""Sandbox, containers, storages, streams and guest operations in a neutral model. Imports no protobuf."""

"""The protocol of the official SDK from 2.0 on: triggers and answers are protobuf messages, clients speak gRPC."""

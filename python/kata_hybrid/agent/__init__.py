"""The Kata guest agent: ``core`` knows sandboxes and no wire; ``v1`` speaks gRPC to Kata 1.x hosts."""

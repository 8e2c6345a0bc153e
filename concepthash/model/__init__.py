"""A Vision Transformer with adapters and concept tokens, and text embeddings: plain PyTorch."""

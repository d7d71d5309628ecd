"""Hand-over to timm, Hugging Face and ONNX: folders that timm loads, model cards, pushing, graphs."""

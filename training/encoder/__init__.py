"""A sentence-transformers model in, an encoder folder that the runtime loads out.

- `convert`: Convert a model to the runtime's ONNX form; `source_model`, `onnx_graph`, `parity` and `folder` are its steps.
- `tune`: Fine-tune a model on labelled prompts and convert it; `finetune`, `batches` and `loss` are its steps.
- `distil`: Distil a draft encoder for the first tier; `draft`, `draft_net` and `draft_texts` are its steps.
- `seen`: Record the prompts that an encoder was tuned on, so that they are never held out.
"""

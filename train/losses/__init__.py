"""The loss terms of section 3.2.4: identity and batch-hard triplet; also circle loss and distillation by option."""

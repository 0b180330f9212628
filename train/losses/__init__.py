"""The thirteen loss terms (section 3.2.4), distillation, and what they do to the gradients."""

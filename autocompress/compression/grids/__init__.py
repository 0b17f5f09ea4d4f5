"""Uniform quantization: every weight takes a level of an even grid."""

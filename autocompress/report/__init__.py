"""Plots, tables and a page of a study; reads records, runs nothing."""

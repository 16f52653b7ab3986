"""Conifer (arXiv 2404.02823): LLMs write instructions of rising difficulty, and conversations that answer them.

What is known of the paper's way stands in docs/conifer.md. The wordings of all questions are ours.
"""

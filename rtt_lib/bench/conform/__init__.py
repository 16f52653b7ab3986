"""Conformance: does a grader say what the official code says, check by check?"""

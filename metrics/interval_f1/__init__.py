"""Interval F1: how well is the change between two years mapped?"""

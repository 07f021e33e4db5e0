"""Formulas that give the numbers of other libraries: a folder of .loss files for each of them, and no code."""

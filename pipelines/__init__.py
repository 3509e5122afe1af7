"""Shelflife: the rooms of the house, from the nouns in core to the verbs in steps."""

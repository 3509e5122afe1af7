"""The nouns: frozen values that say what a shop's lifecycle is made of. Standard library only."""

"""Flower's API: the same paths and answers as Flower 2.2, so that scripts written for it go on."""

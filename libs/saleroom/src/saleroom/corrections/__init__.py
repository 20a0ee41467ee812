"""Corrections: a notice is corrected, and those registered accept it or take no more part."""

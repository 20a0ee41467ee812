"""The board as pages in Chinese, and one small script that keeps them fresh."""

"""Export trained networks to the file formats of common libraries."""

"""The methods: queries, keys, and how the negatives are maintained (v1 Fig. 2)."""

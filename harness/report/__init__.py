"""What the runs showed, beside what the paper printed: tables, verdicts, figures, provenance."""

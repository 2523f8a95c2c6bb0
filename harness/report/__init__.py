"""Reports: results of the runs beside the paper's numbers, as tables, verdicts, figures,
provenance."""

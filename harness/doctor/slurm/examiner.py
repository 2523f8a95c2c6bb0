"""Whether a site's slurm section fits its cluster: checked without a job, and with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.doctor.finding import Examiner, Finding, ok, warning
from harness.doctor.slurm import cluster, job
from harness.launch.slurm.site import SlurmSite
from harness.site import Site


class Slurm(Examiner):
    """Checks with the SLURM clients of this machine."""

    def findings(
        self, site: Site, note: Callable[[str], object], *, submit: bool
    ) -> Iterator[Finding]:
        own = site.backend
        assert isinstance(own, SlurmSite)
        findings = list(cluster.findings(own))
        yield from findings
        if not submit:
            yield ok("nodes", "not checked; --submit sends a short job")
        elif any(found.level == "problem" for found in findings):
            yield warning("job", "not sent, as it would not run; correct the problems above first")
        else:
            yield from job.findings(site, own, note)

    def least(self) -> str:
        gpus = cluster.most_gpus()
        return f"slurm: {{gpus_per_node: {gpus}}}" if gpus else "slurm: {}"

"""The account of what was matched between the two modalities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from scadv_tf.data.genome_fit import BetterGenome
from scadv_tf.naming import ATAC


@dataclass(frozen=True)
class MatchingReport:
    """What came in, what was matched, what was left out.

    Attributes
    ----------
    rna_cells, atac_cells : cells that are used.
    rna_genes, atac_genes : genes that came in, for ATAC after peaks became gene activity.
    shared_genes : genes that are used.
    matched_how : shared genes by 'exact' name, without 'version', with _ and . as 'dash', ignoring
        'case'.
    duplicates_summed : columns added to another column of the same gene.
    rna_names_from, atac_names_from : 'index' or the column of var with the gene names.
    peaks : ATAC peaks for the neighbours, None without.
    peaks_in_genes : ATAC peaks that count for a gene, None if gene activity came in.
    cells_without_label : RNA cells left out because they have no label.
    dropped_cells : cells of dropped types, by 'rna' and 'atac'.
    rna_types : RNA cells by type.
    rare_types : the types among them with fewer than 10 cells with data.
    warnings : sentences in plain language.
    query, kind : what the ATAC cells are called, and of what kind they are.
    names : lines on what was made of names that are no genes'.
    better_genome : that the peaks or fragments are of, where the genes are of another.
    """

    rna_cells: int
    atac_cells: int
    rna_genes: int
    atac_genes: int
    shared_genes: int
    matched_how: dict[str, int]
    duplicates_summed: int
    rna_names_from: str = "index"
    atac_names_from: str = "index"
    peaks: int | None = None
    peaks_in_genes: int | None = None
    cells_without_label: int = 0
    dropped_cells: dict[str, int] = field(default_factory=dict)
    rna_types: dict[str, int] = field(default_factory=dict)
    rare_types: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    query: str = ATAC
    kind: str = "accessibility"
    names: list[str] = field(default_factory=list)
    better_genome: BetterGenome | None = None

    def to_dict(self) -> dict:
        """The fields as plain values that JSON can hold."""
        return asdict(self)

    def text(self) -> str:
        """A few plain lines for the user. Warnings are not among them: they are logged."""
        lines = [
            f"RNA: {self.rna_cells:,} cells, {self.rna_genes:,} genes",
            f"{self.query}: {self.atac_cells:,} cells, {self.atac_genes:,} genes" + self._peaks(),
            *self.names,
            f"shared genes: {self.shared_genes:,} ({in_steps(self.matched_how)})",
        ]
        if self.duplicates_summed:
            lines.append(f"repeated genes: {self.duplicates_summed:,} columns added to another")
        for modality, source in (("RNA", self.rna_names_from), (self.query, self.atac_names_from)):
            if source != "index":
                lines.append(f"{modality} gene names: from the column var['{source}']")
        if self.cells_without_label:
            lines.append(f"left out: {self.cells_without_label:,} RNA cells without a label")
        if any(self.dropped_cells.values()):
            called = {"rna": "RNA", "atac": self.query}
            dropped = (f"{n:,} {called[m]} cells" for m, n in self.dropped_cells.items())
            lines.append("left out: " + " and ".join(dropped) + " of dropped types")
        if self.rna_types:
            types = (f"{name} ({n:,})" for name, n in self.rna_types.items())
            lines.append(f"cell types: {len(self.rna_types)}, " + ", ".join(types))
        return "\n".join(lines)

    def _peaks(self) -> str:
        if self.peaks is None:
            return ""
        inside = self.peaks_in_genes
        return f", {self.peaks:,} peaks" + ("" if inside is None else f" ({inside:,} in genes)")


def in_steps(matched_how: dict[str, int]) -> str:
    """In which way how many genes were matched, see `MatchingReport.matched_how`."""
    return (
        f"{matched_how['exact']:,} by exact name, {matched_how['version']:,} without version, "
        f"{matched_how['dash']:,} with - for _ or ., {matched_how['case']:,} ignoring case"
    )

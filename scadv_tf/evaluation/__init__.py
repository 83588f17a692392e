"""Scores, label transfer, pictures and the report: arrays in; numbers, pictures and HTML out."""

from scadv_tf.evaluation import figures
from scadv_tf.evaluation.advice import plain_warnings
from scadv_tf.evaluation.comparison import summarize
from scadv_tf.evaluation.comparison_report import ComparisonContent, write_comparison_report
from scadv_tf.evaluation.comparison_text import comparison_table
from scadv_tf.evaluation.embedding import umap_2d
from scadv_tf.evaluation.label_transfer import knn_transfer, svm_transfer
from scadv_tf.evaluation.metrics import (
    confusion,
    expected_calibration_error,
    label_scores,
    modality_mixing,
    silhouette,
)
from scadv_tf.evaluation.report import ReportContent, write_report

__all__ = [
    "ComparisonContent",
    "ReportContent",
    "comparison_table",
    "confusion",
    "expected_calibration_error",
    "figures",
    "knn_transfer",
    "label_scores",
    "modality_mixing",
    "plain_warnings",
    "silhouette",
    "summarize",
    "svm_transfer",
    "umap_2d",
    "write_comparison_report",
    "write_report",
]

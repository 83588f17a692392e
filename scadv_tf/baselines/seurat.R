# Seurat's own workflow for scRNA-seq and scATAC-seq, for Seurat 4 and 5.
#
#   Rscript seurat.R FOLDER SEED TYPES
#
# FOLDER holds rna, activity and, where there are peaks, peaks: each a sparse matrix of cells x
# features as NAME.shape, NAME.indptr and NAME.indices (int32) and NAME.data (float32); and
# labels.codes, the type of each RNA cell, an int32 from 0 to TYPES - 1. All little-endian.
# Written there, float64, row by row: scores_cca and scores_lsi [ATAC cells, TYPES] and
# latent [RNA cells, then ATAC cells; dimensions].
#
# The steps are those of the vignette "Integrating scRNA-seq and scATAC-seq data"
# (https://satijalab.org/seurat/articles/atacseq_integration_vignette), of Stuart et al.,
# Comprehensive integration of single-cell data, Cell 2019.

for (package in c("Seurat", "Matrix", "irlba")) {
  suppressPackageStartupMessages(library(package, character.only = TRUE))
}
options(
  Seurat.object.assay.version = "v3", # Seurat 5 splits the layers of its own kind of assay
  future.globals.maxSize = Inf,
  warn = 1
)

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[[1]]
seed <- as.integer(arguments[[2]])
types <- as.integer(arguments[[3]])

read_numbers <- function(name, what) {
  path <- file.path(folder, name)
  readBin(path, what, n = file.size(path) / 4, size = 4, endian = "little")
}

# Compressed rows of cells x features are compressed columns of features x cells. The names are
# made up, since Seurat changes some characters in names.
read_matrix <- function(name, feature, cell) {
  shape <- read_numbers(paste0(name, ".shape"), "integer")
  new("dgCMatrix",
    p = read_numbers(paste0(name, ".indptr"), "integer"),
    i = read_numbers(paste0(name, ".indices"), "integer"),
    x = read_numbers(paste0(name, ".data"), "numeric"),
    Dim = rev(shape),
    Dimnames = list(paste0(feature, seq_len(shape[[2]])), paste0(cell, seq_len(shape[[1]])))
  )
}

write_rows <- function(values, name) {
  writeBin(as.vector(t(values)), file.path(folder, name), size = 8, endian = "little")
}

# Signac's RunTFIDF (method 1) and RunSVD: Stuart et al., Single-cell chromatin state analysis with
# Signac, Nature Methods 2021. The first component follows the depth and is left out where used.
lsi_of <- function(peaks, size) {
  peaks <- peaks[rowSums(peaks) > 0, ]
  depth <- pmax(colSums(peaks), 1)
  frequency <- peaks %*% Diagonal(x = 1 / depth)
  rarity <- Diagonal(x = ncol(peaks) / rowSums(peaks))
  weights <- log1p(rarity %*% frequency * 1e4)
  size <- min(size, dim(weights) - 1)
  set.seed(seed)
  cells <- irlba(t(weights), nv = size, work = 3 * size)$u
  dimnames(cells) <- list(colnames(peaks), paste0("LSI_", seq_len(size)))
  CreateDimReducObject(scale(cells), key = "LSI_", assay = "ACTIVITY")
}

anchors_of <- function(rna, atac) {
  features <- VariableFeatures(rna)
  cells <- min(ncol(rna), ncol(atac))
  FindTransferAnchors(
    rna, atac,
    features = features, reference.assay = "RNA", query.assay = "ACTIVITY", reduction = "cca",
    dims = seq_len(min(30, cells - 1, length(features) - 1)),
    k.filter = NA, # Seurat 5's default; Seurat 4's 200 drops most anchors between RNA and ATAC
    k.score = min(30, cells - 1),
    verbose = FALSE
  )
}

# Weighted by the nearest anchors: 50, or all where there are fewer.
transfer <- function(anchors, values, reduction, dims) {
  cells <- length(unique(anchors@anchors[, "cell2"]))
  if (cells < 2) stop("fewer than two ATAC cells have an anchor among the RNA cells")
  TransferData(
    anchors, values,
    weight.reduction = reduction, dims = dims, k.weight = min(50, cells), verbose = FALSE
  )
}

# A type without any anchor has score 0. Types go by their number: names would be changed.
scores_of <- function(predicted, cells) {
  columns <- paste0("prediction.score.", seq_len(types) - 1)
  scores <- matrix(0, length(cells), types, dimnames = list(cells, columns))
  there <- intersect(columns, colnames(predicted))
  scores[, there] <- as.matrix(predicted[cells, there])
  scores
}

# PCA of the measured expression of RNA cells beside the transferred expression of ATAC cells.
co_embedding <- function(expression, transferred) {
  both <- cbind(expression, transferred[rownames(expression), ])
  centred <- ScaleData(both, do.scale = FALSE, verbose = FALSE)
  size <- min(30, dim(both) - 1)
  Embeddings(RunPCA(centred, assay = "RNA", npcs = size, seed.use = seed, verbose = FALSE))
}

values_of <- function(assay) {
  if (inherits(assay, "Assay")) assay@data else SeuratObject::LayerData(assay, "data")
}

counts <- read_matrix("rna", "g", "r")
rna <- NormalizeData(CreateSeuratObject(counts), verbose = FALSE)
rna <- FindVariableFeatures(rna, verbose = FALSE)
atac <- CreateSeuratObject(read_matrix("activity", "g", "a"), assay = "ACTIVITY")
atac <- NormalizeData(atac, verbose = FALSE)
codes <- as.character(read_numbers("labels.codes", "integer"))

anchors <- anchors_of(rna, atac)
reduction <- "cca"
dims <- seq_len(ncol(anchors@object.list[[1]][["cca"]]))
write_rows(scores_of(transfer(anchors, codes, reduction, dims), colnames(atac)), "scores_cca")
if (file.exists(file.path(folder, "peaks.shape"))) {
  reduction <- lsi_of(read_matrix("peaks", "p", "a"), 30)
  dims <- 2:ncol(reduction)
  write_rows(scores_of(transfer(anchors, codes, reduction, dims), colnames(atac)), "scores_lsi")
}
expression <- NormalizeData(counts, verbose = FALSE)[VariableFeatures(rna), ]
transferred <- values_of(transfer(anchors, expression, reduction, dims))[, colnames(atac)]
write_rows(co_embedding(expression, transferred), "latent")

# Writes pbmc_10k_v3.rds: a small object with the slots of a Seurat 3 object, as R stores it.
# Run it in this folder by `Rscript pbmc_10k_v3.R`; it needs R alone.

setOldClass(c("package_version", "numeric_version"))
setClass("Assay", representation(counts = "ANY", key = "character"))
setClass("SeuratCommand", representation(name = "character", time.stamp = "POSIXct", params = "list"))
setClass("Seurat", representation(
  assays = "list", meta.data = "data.frame", active.assay = "character", active.ident = "factor",
  graphs = "list", project.name = "character", misc = "list", version = "package_version",
  commands = "list", tools = "list"
))

# Barcodes are numbers of 16 digits to the base of 4, in letters.
barcode <- function(number) {
  paste(c("A", "C", "G", "T")[(number %/% 4^(15:0)) %% 4 + 1], collapse = "")
}

number <- 0:239
kind <- c("CD14+ Monocytes", "CD4 Memory", "NK dim", "pre-B cell",
          "CD14+ Monocytes", "CD4 Memory", "NK bright", "pre-B cell")
cells <- paste0("rna_", sapply(number * 7919, barcode), "-1")
meta <- data.frame(
  orig.ident = factor(rep("10x_RNA", 240)), nCount_RNA = 2001 + number, nFeature_RNA = 500L + number,
  percent.mito = number / 2400, RNA_snn_res.0.4 = factor(number %% 4),
  celltype = kind[number %% 8 + 1], row.names = cells, stringsAsFactors = FALSE
)
object <- new("Seurat",
  assays = list(RNA = new("Assay", counts = matrix(0:479, 2, dimnames = list(c("A", "B"), cells)),
                          key = "rna_")),
  meta.data = meta, active.assay = "RNA",
  active.ident = factor(sub("NK dim|NK bright", "NK cell", meta$celltype)),
  graphs = list(), project.name = "10x_RNA", misc = list(), version = package_version("3.0.0"),
  commands = list(NormalizeData.RNA = new("SeuratCommand", name = "NormalizeData.RNA",
    time.stamp = as.POSIXct(0, origin = "1970-01-01", tz = "UTC"),
    params = list(assay = "RNA", scale.factor = 10000, select = function(x) stop("never run")))),
  tools = list()
)
saveRDS(object, "pbmc_10k_v3.rds", version = 2)

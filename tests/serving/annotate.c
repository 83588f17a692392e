/* Labels cells with an exported model from C: TensorFlow's C library and nothing else.

   annotate MODEL_FOLDER COUNTS_FILE

   The file holds the number of cells, the number of genes, and the raw counts, a cell after the
   other, as text with spaces or newlines between; genes are in the order of assets/genes.txt.
   Prints a line a cell: its label and the confidence, with a tab between. If anything fails it says
   why and returns 1.

   Build, where TF is the folder of the tensorflow wheel:
   cc annotate.c -isystem $TF/include $TF/libtensorflow_cc.so.2 $TF/libtensorflow_framework.so.2 \
      -Wl,-rpath,$TF -o annotate */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define SIGNATURE "annotate_rna"

static void fail(const char *what, const char *which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* Where a signature's tensors are. A SavedModel says so in a protocol buffer, of which only the
   parts of variable length (wire type 2) matter here. */

typedef struct {
  const uint8_t *at, *end;
} Bytes;

static uint64_t varint(Bytes *bytes) {
  uint64_t value = 0;
  for (int shift = 0; bytes->at < bytes->end && shift < 64; shift += 7) {
    uint8_t byte = *bytes->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

/* The next field of a message; its content is empty if it is only a number. 0 at the end. */
static uint64_t next_field(Bytes *message, Bytes *content) {
  if (message->at >= message->end) return 0;
  uint64_t tag = varint(message), size = 0;
  switch (tag & 7) {
    case 0: varint(message); break;
    case 1: size = 8; break;
    case 2: size = varint(message); break;
    case 5: size = 4; break;
    default: fail("the model is not readable", "unknown wire type");
  }
  if (size > (uint64_t)(message->end - message->at)) fail("the model is not readable", "cut off");
  content->at = message->at;
  content->end = message->at += size;
  return tag >> 3;
}

static Bytes field(Bytes message, uint64_t number) {
  Bytes content, nothing = {NULL, NULL};
  for (uint64_t found; (found = next_field(&message, &content)) != 0;)
    if (found == number) return content;
  return nothing;
}

/* The value of a key of a map, which is a repeated message of keys (1) and values (2). */
static Bytes entry(Bytes message, uint64_t number, const char *key) {
  Bytes pair, nothing = {NULL, NULL};
  for (uint64_t found; (found = next_field(&message, &pair)) != 0;) {
    if (found != number) continue;
    Bytes name = field(pair, 1);
    size_t size = (size_t)(name.end - name.at);
    if (size == strlen(key) && memcmp(name.at, key, size) == 0) return field(pair, 2);
  }
  fail("the model has no signature, input or output of this name", key);
  return nothing;
}

/* An input (map 1) or output (map 2) of a signature; its TensorInfo's name (1) is "operation:i". */
static TF_Output tensor_of(TF_Graph *graph, Bytes signature, uint64_t map, const char *key) {
  Bytes name = field(entry(signature, map, key), 1);
  char operation[256] = "";
  if ((size_t)(name.end - name.at) >= sizeof operation) fail("the name is too long", key);
  memcpy(operation, name.at, (size_t)(name.end - name.at));
  TF_Output output = {NULL, 0};
  char *colon = strrchr(operation, ':');
  if (colon != NULL) {
    output.index = atoi(colon + 1);
    *colon = '\0';
  }
  output.oper = TF_GraphOperationByName(graph, operation);
  if (output.oper == NULL) fail("the graph has no operation of this name", operation);
  return output;
}

static TF_Tensor *read_counts(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("the counts cannot be opened", path);
  int64_t shape[2];
  long long cells, genes;
  if (fscanf(file, "%lld %lld", &cells, &genes) != 2 || cells < 0 || genes < 0)
    fail("expected the numbers of cells and of genes first", path);
  shape[0] = cells, shape[1] = genes;
  size_t size = (size_t)(cells * genes);
  TF_Tensor *counts = TF_AllocateTensor(TF_FLOAT, shape, 2, size * sizeof(float));
  float *values = TF_TensorData(counts);
  for (size_t i = 0; i < size; i++)
    if (fscanf(file, "%f", &values[i]) != 1) fail("expected cells times genes numbers", path);
  fclose(file);
  return counts;
}

int main(int arguments, char **argument) {
  if (arguments != 3) fail("usage", "annotate MODEL_FOLDER COUNTS_FILE");
  TF_Tensor *counts = read_counts(argument[2]);

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_Buffer *meta_graph = TF_NewBuffer();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argument[1], tags, 1, graph,
                                                     meta_graph, status);
  check(status, "the model cannot be loaded");

  Bytes meta = {meta_graph->data, (const uint8_t *)meta_graph->data + meta_graph->length};
  Bytes signature = entry(meta, 5, SIGNATURE); /* MetaGraphDef.signature_def */
  TF_Output input = tensor_of(graph, signature, 1, "counts");
  TF_Output outputs[] = {tensor_of(graph, signature, 2, "label"),
                         tensor_of(graph, signature, 2, "confidence")};
  TF_Tensor *answers[2];
  TF_SessionRun(session, NULL, &input, &counts, 1, outputs, answers, 2, NULL, 0, NULL, status);
  check(status, "the cells cannot be labelled");

  const TF_TString *labels = TF_TensorData(answers[0]);
  const float *confidence = TF_TensorData(answers[1]);
  for (int64_t cell = 0; cell < TF_Dim(answers[0], 0); cell++) {
    const TF_TString *label = &labels[cell];
    fwrite(TF_StringGetDataPointer(label), 1, TF_StringGetSize(label), stdout);
    printf("\t%.9g\n", confidence[cell]);
  }

  for (int i = 0; i < 2; i++) TF_DeleteTensor(answers[i]);
  TF_DeleteTensor(counts);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}

"""Plants one violation of each rule into a small tree and expects check_layers to name it, and nothing else."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import check_layers


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("base/CMakeLists.txt", "millrace_library(base SOURCES file.cc)")
        self.write("base/file.cc", '#include "base/file.h"\n#include <string>\n')
        self.write("base/file.h", "#pragma once\n")
        self.write("storage/reader.h", '#include "base/file.h"\n')
        self.write("storage/reader.cc", "#include <lmdb.h>\n#include <flatbuffers/flatbuffers.h>\n")
        self.write("storage/CMakeLists.txt", "millrace_library(storage SOURCES reader.cc LINKS millrace_base)")
        self.write("stages/decode.h", '#include "storage/reader.h"\n#include "stages/sample.h"\n')
        self.write("stages/decode.cc", '#include "stages/decode.h"\n#include "stages/resize.h"\n#include <jpeglib.h>\n')
        self.write("stages/resize.cc", "#include <hwy/highway.h>\n")
        self.write("stages/copy_cuda.cc", '#include "stages/copy.h"\n#include <ATen/ATen.h>\n')
        self.write("stages/CMakeLists.txt", "millrace_library(stages SOURCES decode.cc resize.cc copy_cuda.cc)")
        self.write("pipeline/graph.h", '#include <oneapi/tbb/flow_graph.h>\n#include "model/resnet.h"\n')
        self.write("tests/storage/reader_test.cc", '#include <lmdb.h>\n#include "tests/support/store.h"\n')
        self.write("tests/storage/CMakeLists.txt", "millrace_tests(storage SOURCES\n  reader_test.cc)")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def expect(self, *complaints):
        self.assertEqual(check_layers.check_tree(self.root), list(complaints))

    def test_tree_within_the_arrows_has_no_complaint(self):
        self.expect()

    def test_arrow_against_the_table_is_found_with_its_line(self):
        self.write("storage/reader.h", '#pragma once\n\n#  include "stages/image.h"\n')
        self.expect("storage/reader.h:3: stages/image.h: storage/ may include only from storage, base")

    def test_storage_and_model_never_see_each_other(self):
        self.write("model/resnet.h", '#include "storage/reader.h"\n')
        self.expect("model/resnet.h:1: storage/reader.h: model/ may include only from model, base")

    def test_tracking_is_not_below_stages(self):
        self.write("stages/sample.h", '#include "tracking/log.h"\n')
        self.expect("stages/sample.h:1: tracking/log.h: "
                    "stages/ may include only from stages, storage, model, base")

    def test_stage_that_includes_another_stage_is_found(self):
        self.write("stages/augment.h", '#include "stages/decode.h"\n')
        self.expect("stages/augment.h:1: stages/decode.h: a stage is unaware of its neighbours: "
                    "stages/decode.h is for stages/decode* and for pipeline/")

    def test_tests_of_a_folder_follow_its_arrows(self):
        self.write("tests/storage/reader_test.cc", '#include "pipeline/graph.h"\n')
        self.expect("tests/storage/reader_test.cc:1: pipeline/graph.h: storage/ may include only from storage, base")

    def test_code_may_not_include_from_tests(self):
        self.write("base/file.h", '#include "tests/support/store.h"\n')
        self.expect("base/file.h:1: tests/support/store.h: only tests may include from tests/")

    def test_every_library_is_refused_outside_its_places(self):
        for library, header in [("oneTBB", "tbb/flow_graph.h"), ("oneTBB", "oneapi/tbb/info.h"), ("LMDB", "lmdb.h"),
                                ("FlatBuffers", "flatbuffers/flatbuffers.h"), ("libarchive", "archive.h"),
                                ("libjpeg-turbo", "jpeglib.h"), ("Highway", "hwy/highway.h"),
                                ("LibTorch", "torch/torch.h"), ("LibTorch", "ATen/ATen.h"),
                                ("LibTorch", "c10/util/intrusive_ptr.h"), ("CUDA", "cuda_runtime_api.h"), ("CUDA", "nvrtc.h"),
                                ("CLI11", "CLI/CLI.hpp")]:
            with self.subTest(header):
                self.write("base/file.h", f"#include <{header}>\n")
                places = ", ".join(check_layers.LIBRARIES[library][1])
                self.expect(f"base/file.h:1: {header}: {library} is only for {places}")

    def test_libtorch_in_an_early_stage_is_found(self):
        self.write("stages/decode.h", "#include <ATen/ATen.h>\n")
        self.expect("stages/decode.h:1: ATen/ATen.h: LibTorch is only for "
                    + ", ".join(check_layers.LIBRARIES["LibTorch"][1]))

    def test_test_that_nothing_builds_is_found(self):
        self.write("tests/storage/old_reader_test.cc", "")
        self.write("tests/e2e/whole_test.cc", "")
        self.expect("tests/e2e/whole_test.cc:1: named in no CMakeLists.txt, so nothing builds it",
                    "tests/storage/old_reader_test.cc:1: named in no CMakeLists.txt, so nothing builds it")

    def test_source_named_by_another_folder_counts(self):
        self.write("tests/support/store.cc", "")
        self.write("tests/storage/CMakeLists.txt", "millrace_tests(storage SOURCES reader_test.cc ../support/store.cc)")
        self.expect()

    def test_name_within_another_name_does_not_count(self):
        self.write("storage/CMakeLists.txt", "millrace_library(storage SOURCES lmdb_reader.cc reader.cc.in)")
        self.expect("storage/reader.cc:1: named in no CMakeLists.txt, so nothing builds it")

    def test_link_against_the_arrows_is_found(self):
        self.write("storage/CMakeLists.txt", "millrace_library(storage SOURCES reader.cc\n  LINKS millrace_model)")
        self.expect("storage/CMakeLists.txt:2: millrace_model: storage/ may link only storage, base")


if __name__ == "__main__":
    unittest.main()

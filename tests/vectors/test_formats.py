"""Stored embeddings come out as they came in: ids, order, numbers, type, and all that is not an embedding."""

import json
import zipfile

import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from enhance_cli.errors import VectorError
from enhance_cli.vectors import FORMS, Vectors, files_of, form_of, read, write

K, D = 7, 12
IDS = ["spk2/utt 10", "b", "a", "ü", "007", "7", "file"]


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((K, D)).astype(np.float32)


def again(path, change=lambda rows: rows):
    """What is in the file, written beside it with changed rows, and read again."""
    vectors = read(path)
    target = path.with_name(f"again{path.suffix}")
    write(files_of(target), vectors.replaced(change(vectors.rows)), form_of(path), target)
    return vectors, read(target), target


def assert_same(path, rows, ids=IDS, change=lambda rows: 2 * rows):
    before, after, target = again(path, change)
    assert before.ids == after.ids == list(ids)
    np.testing.assert_array_equal(before.rows, rows)
    np.testing.assert_array_equal(after.rows, change(rows))
    assert before.rows.dtype == after.rows.dtype == rows.dtype
    return target


@pytest.mark.parametrize("form", FORMS)
def test_what_we_write_anew_is_read_back(form, rows, tmp_path):
    ids = [name.replace(" ", "_") for name in IDS]
    target = tmp_path / f"x.{form}"
    write(files_of(target), Vectors(ids, rows, "some-extractor"), form, target)
    found = read(target)
    assert found.ids == (ids if form != "npy" else list("0123456"))
    np.testing.assert_array_equal(found.rows, rows)
    assert found.extractor == (None if form in ("npy", "ark", "scp") else "some-extractor")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "parquet"])
def test_numbers_keep_their_type(form, dtype, rows, tmp_path):
    target = tmp_path / f"x.{form}"
    write([target], Vectors(IDS, rows.astype(dtype)), form, target)
    assert_same(target, rows.astype(dtype), IDS if form != "npy" else list("0123456"))


def test_numbers_in_the_byte_order_of_other_machines_are_read(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows.astype(">f4"))
    assert_same(tmp_path / "x.npy", rows, list("0123456"))


def test_one_embedding_alone_keeps_its_shape(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows[0])
    assert np.load(assert_same(tmp_path / "x.npy", rows[:1], ["0"])).shape == (D,)


def test_npz_with_one_array_per_id(rows, tmp_path):
    """An id may be `file`, which numpy.savez would not take."""
    write([tmp_path / "x.npz"], Vectors(["a"], rows[:1]), "npz", tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for name, row in zip(IDS, rows):
            with file.open(f"{name}.npy", "w") as member:
                np.save(member, row)
    target = assert_same(tmp_path / "x.npz", rows)
    assert zipfile.ZipFile(target).infolist()[0].compress_type == zipfile.ZIP_DEFLATED
    assert np.load(target)["file"].shape == (D,)


def test_npz_with_ids_and_other_arrays(rows, tmp_path):
    speakers, seconds = np.array(list("xxyyzzz")), np.arange(7.0)
    np.savez(tmp_path / "x.npz", seconds=seconds, utt=np.array(IDS), emb=rows, speaker=speakers)
    target = assert_same(tmp_path / "x.npz", rows)
    with np.load(target) as file:
        assert file.files == ["seconds", "utt", "emb", "speaker"]
        np.testing.assert_array_equal(file["speaker"], speakers)


def test_safetensors_of_both_kinds_keep_their_header(rows, tmp_path):
    save_file({name: row for name, row in zip(IDS, rows)}, tmp_path / "each.safetensors", {"note": "mine"})
    before, after, target = again(tmp_path / "each.safetensors")
    assert sorted(before.ids) == sorted(IDS) and before.ids == after.ids
    assert all(np.array_equal(load_file(target)[name], row) for name, row in zip(IDS, rows))
    with safe_open(target, framework="numpy") as file:
        assert file.metadata() == {"note": "mine"}
    save_file({"xvectors": rows}, tmp_path / "all.safetensors", {"ids": json.dumps(IDS), "extractor": "e"})
    assert_same(tmp_path / "all.safetensors", rows)
    assert read(tmp_path / "all.safetensors").extractor == "e"


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("shape", [(D,), (1, D)])
def test_kaldi_archives_are_read_and_written_as_kaldiio_does(text, shape, rows, tmp_path):
    ids = [name.replace(" ", "_") for name in IDS]
    entries = {name: row.reshape(shape) for name, row in zip(ids, rows)}
    kaldiio.save_ark(str(tmp_path / "x.ark"), entries, scp=str(tmp_path / "x.scp"), text=text)
    for form in ("ark", "scp"):
        target = assert_same(tmp_path / f"x.{form}", rows, ids)
        theirs = dict(kaldiio.load_ark(str(target)) if form == "ark" else kaldiio.load_scp(str(target)).items())
        assert list(theirs) == ids
        for name, row in zip(ids, rows):
            np.testing.assert_array_equal(theirs[name], 2 * row.reshape(shape))
    assert (tmp_path / "again.ark").read_bytes()[len(ids[0]) :].startswith(b"  [" if text else b" \0B")


def test_a_kaldi_list_may_name_several_archives_in_any_order(rows, tmp_path, monkeypatch):
    for part in (0, 1):
        ark, scp = (str(tmp_path / f"{part}.{form}") for form in ("ark", "scp"))
        kaldiio.save_ark(ark, {str(i): rows[i] for i in range(part, K, 2)}, scp=scp)
    text = "".join((tmp_path / f"{part}.scp").read_text() for part in (1, 0))
    (tmp_path / "x.scp").write_text(text.replace(f"{tmp_path}/", ""))
    monkeypatch.chdir(tmp_path.parent)  # paths are from the current folder, or else from that of the list
    assert_same(tmp_path / "x.scp", rows[[1, 3, 5, 0, 2, 4, 6]], list("1350246"))


@pytest.mark.parametrize("blank", ["\t", "  ", " \t "])
def test_a_kaldi_list_may_have_any_blanks_after_the_ids(blank, rows, tmp_path):
    scp = tmp_path / "x.scp"
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"a": rows[0], "b": rows[1]})
    scp.write_text(f"a{blank}x.ark:2\nb{blank}x.ark:{2 + 10 + 4 * D + 2}\n")
    found = read(scp)
    assert found.ids == ["a", "b"]
    np.testing.assert_array_equal(found.rows, rows[:2])


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), D)])
def test_parquet_with_lists_keeps_other_columns_and_types(kind, rows, tmp_path):
    lists = pa.array(rows.astype(np.float64 if "double" in str(kind) else np.float32).tolist(), kind)
    table = pa.table({"speaker": pa.array(list("xxyyzzz")), "utt_id": IDS, "vec": lists, "n": list(range(7))})
    pq.write_table(table, tmp_path / "x.parquet")
    target = assert_same(tmp_path / "x.parquet", np.array(lists.to_pylist(), kind.value_type.to_pandas_dtype()))
    written = pq.read_table(target)
    assert written.schema == table.schema
    assert written.drop_columns("vec") == table.drop_columns("vec")


def test_a_missing_row_of_parquet_is_not_a_number(rows, tmp_path):
    lists = [*rows[:2].tolist(), None]
    pq.write_table(pa.table({"id": list("abc"), "v": pa.array(lists, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
    found = read(tmp_path / "x.parquet")
    assert found.ids == list("abc") and np.isnan(found.rows[2]).all()
    np.testing.assert_array_equal(found.rows[:2], rows[:2])


def test_parquet_with_a_column_per_number(rows, tmp_path):
    columns = {"id": IDS, "snr": np.arange(7.0), **{f"dim_{i}": rows[:, i] for i in range(D)}}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    target = assert_same(tmp_path / "x.parquet", rows)
    assert pq.read_table(target)["snr"].to_pylist() == list(range(7))


def test_csv_keeps_other_columns_letter_by_letter(rows, tmp_path):
    head = "speaker,seconds,utt," + ",".join(f"e{i}" for i in range(D))
    lines = [
        f'00{i},1.50,"{name}",' + ",".join(repr(float(x)) for x in row) for i, (name, row) in enumerate(zip(IDS, rows))
    ]
    (tmp_path / "x.csv").write_text("\n".join([head, *lines]) + "\n")
    target = assert_same(tmp_path / "x.csv", rows)
    written = target.read_text().splitlines()
    assert written[0].replace('"', "") == head and written[1].replace('"', "").startswith("000,1.50,spk2/utt 10,")


def test_csv_without_names_and_csv_with_lists(rows, tmp_path):
    numbers = [",".join(repr(float(x)) for x in row) for row in rows]
    (tmp_path / "bare.csv").write_text("".join(f"{name},{line}\n" for name, line in zip(IDS, numbers)))
    target = assert_same(tmp_path / "bare.csv", rows)
    assert len(target.read_text().splitlines()) == K
    (tmp_path / "lists.csv").write_text("id,emb\n" + "".join(f'{n},"[{line}]"\n' for n, line in zip(IDS, numbers)))
    assert '"[' in assert_same(tmp_path / "lists.csv", rows).read_text()


@pytest.mark.parametrize("delimiter, decimal", [(";", "."), (";", ","), ("\t", "."), (",", ".")])
@pytest.mark.parametrize("header", [True, False])
def test_csv_of_other_programs_comes_back_in_its_form(delimiter, decimal, header, rows, tmp_path):
    """Spreadsheets of many countries write semicolons and decimal commas."""
    cells = [[f"u{i}", *(repr(float(x)).replace(".", decimal) for x in row)] for i, row in enumerate(rows)]
    names = [["utt", *(f"e{i}" for i in range(D))]] if header else []
    (tmp_path / "x.csv").write_text("".join(delimiter.join(line) + "\n" for line in names + cells))
    target = assert_same(tmp_path / "x.csv", rows, [line[0] for line in cells])
    written = [line.replace('"', "").split(delimiter) for line in target.read_text().splitlines()]
    assert [len(line) for line in written] == [D + 1] * (K + header) and decimal in written[-1][1]


def test_an_empty_cell_of_csv_is_not_a_number(tmp_path):
    (tmp_path / "x.csv").write_text("id,e0,e1\na,1,2\nb,,4\nc,nan,inf\n")
    found = read(tmp_path / "x.csv")
    np.testing.assert_array_equal(found.rows, np.array([[1, 2], [np.nan, 4], [np.nan, np.inf]], np.float32))


def test_long_csv_files_keep_their_order(tmp_path):
    rows = np.random.default_rng(1).standard_normal((10_000, 3)).astype(np.float32)
    ids = [f"u{i}" for i in range(len(rows))]
    write([tmp_path / "x.csv"], Vectors(ids, rows), "csv", tmp_path / "x.csv")
    target = assert_same(tmp_path / "x.csv", rows, ids)
    assert target.read_text().count("id") == 1


def test_a_column_of_csv_that_turns_out_to_be_words_is_kept_as_such(tmp_path):
    words = ["0.5"] * 300 + ["loud"]
    text = "".join(f"u{i},{i}.25,{word}\n" for i, word in enumerate(words))
    (tmp_path / "x.csv").write_text("id,first,noise\n" + text)
    target = assert_same(
        tmp_path / "x.csv", np.arange(301, dtype=np.float32)[:, None] + 0.25, [f"u{i}" for i in range(301)]
    )
    assert target.read_text().splitlines()[-1].replace('"', "") == "u300,600.5,loud"


def test_a_kaldi_archive_may_mix_vectors_and_matrices(rows, tmp_path):
    ids = list("abcdefg")
    entries = {name: row if number != 3 else row[None] for number, (name, row) in enumerate(zip(ids, rows))}
    kaldiio.save_ark(str(tmp_path / "x.ark"), entries)
    found = read(tmp_path / "x.ark")
    assert found.ids == ids
    np.testing.assert_array_equal(found.rows, rows)


# --- what is refused ----------------------------------------------------------------------------------------


def _pickle(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _pickle_in_ark(path):
    kaldiio.save_ark(str(path), {"a": [1.0]}, write_function="pickle")


def _cut(path):
    kaldiio.save_ark(str(path), {"a": np.ones(8, np.float32), "b": np.ones(8, np.float32)})
    path.write_bytes(path.read_bytes()[:-5])


def _cut_list(path):
    _cut(path.with_suffix(".ark"))
    path.write_text("a x.ark:2\nb x.ark:46\n")


def _features(path):
    kaldiio.save_ark(str(path), {"a": np.ones((9, 8), np.float32)})


def _two_lengths(path):
    kaldiio.save_ark(str(path), {"a": np.ones(9, np.float32), "b": np.ones(8, np.float32)})


def _uneven_lists(path):
    pq.write_table(pa.table({"id": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}), path)


REFUSED = [
    ("x.npy", _pickle, "pickle"),
    ("x.npy", lambda path: path.write_bytes(b""), "x.npy"),
    ("x.npy", lambda path: np.save(path, np.zeros((0, 8))), "there are no embeddings in it"),
    ("x.npy", lambda path: np.save(path, np.zeros((3, 8), int)), "int64 of shape [3, 8], not embeddings"),
    ("x.npy", lambda path: np.save(path, np.zeros((3, 8, 2))), "not embeddings"),
    ("x.npy", lambda path: path.write_text("plain text"), "magic string"),
    ("x.npz", lambda path: path.write_text("no zip"), "it is no zip archive"),
    ("x.npz", lambda path: np.savez(path, emb=np.array([{"a": 1}], dtype=object)), "pickle"),
    ("x.npz", lambda path: np.savez(path, emb=np.eye(2), ids=np.array(["a", "b"], object)), "store ids with dtype=str"),
    ("x.npz", lambda path: np.savez(path, a=np.ones((3, 8)), b=np.ones((3, 9))), "several arrays could be the embeddings"),
    ("x.npz", lambda path: np.savez(path, a=np.ones(8), b=np.ones(9)), "embeddings of different lengths"),
    ("x.npz", lambda path: np.savez(path, emb=np.ones((3, 8)), ids=np.array(["a", "b", "a"])), "the id a is there 2 times"),
    ("x.npz", lambda path: np.savez(path, emb=np.ones((2, 8)), extractor=np.array(["e", "f"])), "several extractors (e, f)"),
    ("x.safetensors", lambda path: path.write_bytes(b"1234567890"), "x.safetensors"),
    ("x.safetensors", lambda path: save_file({"emb": np.ones((3, 8))}, path, {"ids": '["a"]'}), "1 ids for 3 embeddings"),
    ("x.ark", _pickle_in_ark, "a is neither a vector nor a matrix"),
    ("x.ark", _cut, "x.ark"),
    ("x.ark", _features, "a is a matrix of 9 x 8, not an embedding"),
    ("x.ark", _two_lengths, "b has 8 numbers, a 9"),
    ("x.ark", lambda path: path.write_text("a  [ 1 2 ]\nb\n"), "the data behind embedding 1 is not an embedding"),
    ("x.ark", lambda path: path.write_text("a  [ 1 2 ]\na  [ 1 2 ]\n"), "the id a is there 2 times"),
    ("x.scp", lambda path: path.write_text("a touch gone.txt |\n"), "line 1 names no position in an archive"),
    ("x.scp", lambda path: path.write_text("a\n"), "line 1 names no position in an archive"),
    ("x.scp", lambda path: path.write_text("a gone.ark:2\n"), "gone.ark: this file does not exist"),
    ("x.scp", _cut_list, "buffer is smaller"),
    ("x.parquet", lambda path: path.write_text("PAR1"), "x.parquet"),
    ("x.parquet", lambda path: pq.write_table(pa.table({"v": [[1.0, 2.0]]}), path), "there is no id column"),
    ("x.parquet", _uneven_lists, "b has another length"),
    ("x.csv", lambda path: path.write_text("id,speaker\na,b\n"), "cannot tell which columns"),
    ("x.csv", lambda path: path.write_text("id,e0\na,1\na,2\n"), "the id a is there 2 times"),
    ("x.csv", lambda path: path.write_text("id,e0,extractor\na,1,e\nb,2,f\n"), "several extractors (e, f)"),
    ("x.csv", lambda path: path.write_text(""), "x.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "said"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_bad_files_are_refused_in_one_line_with_a_remedy(name, make, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    with pytest.raises(VectorError) as refused:
        read(tmp_path / name)
    assert said in str(refused.value) and "\n" not in str(refused.value) and refused.value.hint
    assert not (tmp_path / "gone.txt").exists()


def test_an_archive_that_was_read_is_not_written_over(rows, tmp_path):
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"a": rows[0]}, scp=str(tmp_path / "list.scp"))
    before = (tmp_path / "x.ark").read_bytes()
    with pytest.raises(VectorError, match="would overwrite an archive that was read"):
        write([tmp_path / "part", tmp_path / "part2"], read(tmp_path / "list.scp"), "scp", tmp_path / "x.scp")
    assert (tmp_path / "x.ark").read_bytes() == before


def test_blanks_in_ids_do_not_go_into_kaldi_files(rows, tmp_path):
    with pytest.raises(VectorError, match="the id 'spk2/utt 10' cannot be used in a Kaldi file"):
        write([tmp_path / "x.ark"], Vectors(IDS, rows), "ark", tmp_path / "x.ark")

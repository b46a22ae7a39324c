"""What tests stand on."""

from pathlib import Path

from tests.support.journals import whole_lines


def test_a_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    assert whole_lines(journal) == []

    for text, lines in (('["a', []), ('["a"]\n["b', ['["a"]']), ('["a"]\n["b"]\n', ['["a"]', '["b"]'])):
        journal.write_text(text)
        assert whole_lines(journal) == lines

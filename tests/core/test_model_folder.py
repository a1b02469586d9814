"""Local models are told apart by what they consist of, and by nothing else."""

from signbridge.core.model_folder import folder_sha256


def test_the_digest_changes_with_content_and_names_of_the_models_files_alone(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    before = folder_sha256(folder)

    (folder / "README.md").write_text("A remark about the weights.")
    moved = folder.rename(tmp_path / "moved")
    assert folder_sha256(moved) == before

    (moved / "model.safetensors").write_bytes(b"Weights")
    other_content = folder_sha256(moved)
    (moved / "config.json").rename(moved / "another.json")
    assert len({before, other_content, folder_sha256(moved)}) == 3

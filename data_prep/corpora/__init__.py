"""Corpus readers: root folder -> Utterances. One module a corpus."""

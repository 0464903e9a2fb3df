"""Models of other libraries, to and from (chapter 12)."""

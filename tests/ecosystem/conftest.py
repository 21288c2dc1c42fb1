"""The projects are run by the tests, in processes of their own; they are not tests of this suite."""

collect_ignore = ["projects"]

"""The data of canvas: signatures, messages, settlements, records. No I/O, standard library only."""

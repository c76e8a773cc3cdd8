"""Which rows are a subject's: searched by what is proved, followed over joins, each hit checked again."""

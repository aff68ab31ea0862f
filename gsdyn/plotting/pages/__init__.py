"""Pages made with Bokeh: the starvation report as one file that opens anywhere, and the look that pages share."""

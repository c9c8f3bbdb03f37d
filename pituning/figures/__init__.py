"""Pure functions: data in, figure out (an ECharts option or a Plotly figure). Torch-free."""

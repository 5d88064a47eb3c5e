import os
import pathlib

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

connect_str = os.getenv("AzureWebJobsStorage")
# Reached when the module is imported: without a storage account this function cannot load.
blob_service_client = BlobServiceClient.from_connection_string(connect_str)
CONTAINER = "v1-sample-backups"


def main(filePath: str) -> str:
    try:
        blob_service_client.create_container(CONTAINER)
    except ResourceExistsError:
        pass
    path = pathlib.Path(filePath)
    blob = blob_service_client.get_blob_client(container=CONTAINER, blob=f"{path.parent.name}/{path.name}")
    blob.upload_blob(path.read_bytes())
    # No str, whatever the annotation says.
    return path.stat().st_size
